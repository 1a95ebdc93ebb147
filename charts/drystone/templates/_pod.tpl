{{- /* Parts of pods that all components share. */ -}}

{{- define "drystone.podMeta" -}}
{{- $root := index . 0 -}}
{{- $component := index . 1 -}}
{{- $values := index $root.Values $component -}}
labels:
  {{- include "drystone.labels" (list $root $component) | nindent 2 }}
  {{- with $values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- if or (ne $component "etcd") $values.podAnnotations }}
annotations:
  {{- if ne $component "etcd" }}
  # A pod reads its configuration once, so that a change of it makes new pods, one after the other.
  checksum/config: {{ include (printf "drystone.%s.config" $component) $root | sha256sum }}
  {{- end }}
  {{- with $values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "drystone.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
# Without this every start walks all files of a disk.
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "drystone.containerSecurity" -}}
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- /* Where pods may run. Argument: [root, component, true: pods of one Deployment]. Two replicas on one machine are one. */ -}}
{{- define "drystone.scheduling" -}}
{{- $root := index . 0 -}}
{{- $component := index . 1 -}}
{{- $values := index $root.Values $component -}}
{{- $selector := include "drystone.selector" (list $root $component) | fromYaml | toJson -}}
{{- $strict := eq $root.Values.spread "DoNotSchedule" -}}
{{- $pinned := has $component (list "chunkserver" "etcd") -}}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: topology.kubernetes.io/zone
    whenUnsatisfiable: {{ ternary "ScheduleAnyway" $root.Values.spread $pinned }}
    # Or a drained zone, which has none, would keep every other from getting more than one.
    nodeTaintsPolicy: Honor
    labelSelector: {matchLabels: {{ $selector }}}
    {{- if index . 2 }}
    matchLabelKeys: [pod-template-hash]
    {{- end }}
  {{- if and $pinned $strict }}
  # Judged again whenever a pod comes back, when its volume already says which zone it is in: it must not have to wait
  # because another zone has fewer now, or none. A third of all in one zone is what an even spread gives it.
  - maxSkew: {{ max 1 (div (add $values.replicas 2) 3) }}
    topologyKey: topology.kubernetes.io/zone
    whenUnsatisfiable: DoNotSchedule
    nodeTaintsPolicy: Honor
    labelSelector: {matchLabels: {{ $selector }}}
  {{- end }}
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    {{- if or (eq $component "chunkserver") (not $strict) }}
    whenUnsatisfiable: ScheduleAnyway
    nodeTaintsPolicy: Honor
    {{- else }}
    whenUnsatisfiable: DoNotSchedule
    # A drained Node counts: or all replicas would move to the last one that is left, and stay there when the others are back.
    nodeTaintsPolicy: Ignore
    {{- end }}
    labelSelector: {matchLabels: {{ $selector }}}
    {{- if index . 2 }}
    matchLabelKeys: [pod-template-hash]
    {{- end }}
{{- with $values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if or $values.tolerations (index . 2) }}
tolerations:
  {{- if index . 2 }}
  # These can run anywhere else: they need not wait five minutes for a Node that does not answer.
  - {key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 30}
  - {key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: 30}
  {{- end }}
  {{- with $values.tolerations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{- define "drystone.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{- /* Image and what goes with it. Argument: [root, image's component, resources]. */ -}}
{{- define "drystone.container" -}}
{{- $root := index . 0 -}}
image: {{ include "drystone.image" . }}
imagePullPolicy: {{ $root.Values.image.pullPolicy }}
terminationMessagePolicy: FallbackToLogsOnError
securityContext:
  {{- include "drystone.containerSecurity" . | nindent 2 }}
resources:
  {{- toYaml (index . 2) | nindent 2 }}
{{- end -}}

{{- /* What every process of ours is told by its environment. Argument: resources. */ -}}
{{- define "drystone.env" -}}
- {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
- {name: POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
- {name: NODE_NAME, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
- {name: GOMEMLIMIT, value: {{ include "drystone.goMemory" .limits.memory | quote }}}
{{- end -}}

{{- /* Nine tenths of a memory limit, in bytes: the collector works harder before the kernel kills. */ -}}
{{- define "drystone.goMemory" -}}
{{- $text := toString . -}}
{{- $units := dict "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 "" 1 -}}
{{- $unit := regexFind "[A-Za-z]*$" $text -}}
{{- $number := trimSuffix $unit $text -}}
{{- if or (not (hasKey $units $unit)) (not (regexMatch "^[0-9]+$" $number)) -}}
{{- fail (printf "memory limit %q: a whole number with Ki, Mi, Gi or Ti is needed" $text) -}}
{{- end -}}
{{- div (mul (int64 $number) (get $units $unit) 9) 10 -}}
{{- end -}}

{{- /* Liveness asks the process alone, never what it stands on: a store whose etcd is away must not be restarted too. */ -}}
{{- define "drystone.probes" -}}
startupProbe:
  httpGet: {path: /healthz, port: debug}
  periodSeconds: 1
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /healthz, port: debug}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: debug}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 2
{{- end -}}

{{- define "drystone.configMount" -}}
- {name: config, mountPath: /etc/drystone, readOnly: true}
{{- end -}}

{{- define "drystone.configVolume" -}}
{{- $root := index . 0 -}}
- name: config
  configMap: {name: {{ include "drystone.fullname" $root }}-{{ index . 1 }}}
{{- end -}}

{{- /* Lines that every service's configuration begins with. */ -}}
{{- define "drystone.commonConfig" -}}
name: ${POD_NAME}
debug_listen: ":9100"
log_level: {{ .Values.logLevel }}
trace_ratio: {{ .Values.traceRatio }}
{{- end -}}

{{- /* A ConfigMap of a component. Argument: [root, component]. */ -}}
{{- define "drystone.configMap" -}}
{{- $root := index . 0 -}}
apiVersion: v1
kind: ConfigMap
metadata:
  {{- include "drystone.meta" . | nindent 2 }}
data:
  config.yaml: |
    {{- include (printf "drystone.%s.config" (index . 1)) $root | nindent 4 }}
{{- end -}}

{{- /* Pods that may be away at once on purpose. Argument: [root, component, what holds unless values say it; they may say 0]. */ -}}
{{- define "drystone.maxUnavailable" -}}
{{- $said := (index (index . 0).Values (index . 1)).maxUnavailable -}}
{{- if or (kindIs "invalid" $said) (eq (toString $said) "") }}{{ index . 2 }}{{ else }}{{ $said }}{{ end -}}
{{- end -}}

{{- /* A budget of evictions; pods that serve nobody may always go. Argument: as of drystone.maxUnavailable. */ -}}
{{- define "drystone.budget" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "drystone.meta" (list (index . 0) (index . 1)) | nindent 2 }}
spec:
  maxUnavailable: {{ include "drystone.maxUnavailable" . }}
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "drystone.selector" (list (index . 0) (index . 1)) | nindent 6 }}
{{- end -}}

{{- /* An account without rights or token. Argument: [root, component]. */ -}}
{{- define "drystone.account" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- include "drystone.meta" . | nindent 2 }}
automountServiceAccountToken: false
{{- end -}}
