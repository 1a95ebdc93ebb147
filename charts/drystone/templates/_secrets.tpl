{{- /* Whether there is a Secret that the chart has to make: true or empty. */ -}}
{{- define "drystone.secrets.needed" -}}
{{- if or (not .Values.auth.existingSecret) (include "drystone.etcd.own" .) }}true{{ end -}}
{{- end -}}

{{- /* Names of the Secrets that the chart makes, as a YAML list. */ -}}
{{- define "drystone.secrets.names" -}}
{{- if not .Values.auth.existingSecret }}
- {{ include "drystone.rootSecret" . }}
{{- end }}
{{- if include "drystone.etcd.own" . }}
- {{ include "drystone.etcd.secret" . }}
- {{ include "drystone.etcd.secret" . }}-ca
{{- end }}
{{- end -}}

{{- /* A pod that makes what is missing and renews certificates. Argument: [root, account's suffix]. */ -}}
{{- define "drystone.secrets.pod" -}}
{{- $account := index . 1 -}}
{{- with index . 0 -}}
metadata:
  labels:
    {{- include "drystone.labels" (list . "secrets") | nindent 4 }}
spec:
  restartPolicy: OnFailure
  serviceAccountName: {{ include "drystone.fullname" . }}-{{ $account }}
  enableServiceLinks: false
  {{- include "drystone.pullSecrets" . | nindent 2 }}
  securityContext:
    {{- include "drystone.podSecurity" . | nindent 4 }}
  {{- with .Values.etcd.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: secrets
      {{- include "drystone.container" (list . "cli" .Values.jobs.resources) | nindent 6 }}
      args:
        - kube
        - init
        {{- range $name, $value := (include "drystone.labels" (list . "secrets") | fromYaml) }}
        {{- /* Not what changes with every version: these Secrets outlive many. */}}
        {{- if not (has $name (list "helm.sh/chart" "app.kubernetes.io/version" "app.kubernetes.io/managed-by")) }}
        - --label={{ $name }}={{ $value }}
        {{- end }}
        {{- end }}
        {{- if not .Values.auth.existingSecret }}
        - --root-secret={{ include "drystone.rootSecret" . }}
        {{- end }}
        {{- if include "drystone.etcd.own" . }}
        - --etcd-secret={{ include "drystone.etcd.secret" . }}
        - --etcd-ca-secret={{ include "drystone.etcd.secret" . }}-ca
        - --etcd-hosts=*.{{ include "drystone.host" (list . "etcd") }},{{ include "drystone.host" (list . "etcd") }},localhost,127.0.0.1
        {{- end }}
      env:
        {{- include "drystone.env" .Values.jobs.resources | nindent 8 }}
{{- end -}}
{{- end -}}

{{- /* The account that may make Secrets, and its rights. Argument: [root, name's suffix, whether it is a hook's]. */ -}}
{{- define "drystone.secrets.rights" -}}
{{- $root := index . 0 -}}
{{- $name := index . 1 -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- include "drystone.meta" (list $root "secrets" $name) | nindent 2 }}
  {{- include "drystone.secrets.hook" (index . 2) | nindent 2 }}
automountServiceAccountToken: true
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  {{- include "drystone.meta" (list $root "secrets" $name) | nindent 2 }}
  {{- include "drystone.secrets.hook" (index . 2) | nindent 2 }}
rules:
  {{- if index . 2 }}
  # Kubernetes cannot bind "create" to names, so only the hook may, which is gone after the upgrade. What renews finds all there.
  - {apiGroups: [""], resources: [secrets], verbs: [create]}
  {{- end }}
  - apiGroups: [""]
    resources: [secrets]
    resourceNames:
      {{- include "drystone.secrets.names" $root | trim | nindent 6 }}
    verbs: [get, patch]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  {{- include "drystone.meta" (list $root "secrets" $name) | nindent 2 }}
  {{- include "drystone.secrets.hook" (index . 2) | nindent 2 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: {{ include "drystone.fullname" $root }}-{{ $name }}}
subjects:
  - {kind: ServiceAccount, name: {{ include "drystone.fullname" $root }}-{{ $name }}, namespace: {{ $root.Release.Namespace }}}
{{- end -}}

{{- /* Marks what the Job needs as hooks like the Job: there before everything else, gone after it. Argument: whether. */ -}}
{{- define "drystone.secrets.hook" -}}
{{- if . -}}
annotations:
  helm.sh/hook: pre-install,pre-upgrade,pre-rollback
  helm.sh/hook-weight: "-10"
  helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}
{{- end -}}
