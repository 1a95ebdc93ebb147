{{- define "drystone.etcd.own" -}}
{{- if not .Values.etcd.external.endpoints }}true{{ end -}}
{{- end -}}

{{- /* Members that the others can do without. A single one may go, or its Node could never be drained. */ -}}
{{- define "drystone.etcd.minority" -}}
{{- max 1 (div (sub .Values.etcd.replicas 1) 2) -}}
{{- end -}}

{{- /* Whether the chart takes snapshots: true or empty. */ -}}
{{- define "drystone.etcd.snapshots" -}}
{{- if and (include "drystone.etcd.own" .) .Values.etcd.snapshot.enabled }}true{{ end -}}
{{- end -}}

{{- /* Secret with ca.crt, client.crt and client.key; empty: no TLS. */ -}}
{{- define "drystone.etcd.secret" -}}
{{- if include "drystone.etcd.own" . -}}
{{ include "drystone.fullname" . }}-etcd
{{- else -}}
{{ .Values.etcd.external.tlsSecret }}
{{- end -}}
{{- end -}}

{{- define "drystone.etcd.endpoints" -}}
{{- if include "drystone.etcd.own" . -}}
{{- include "drystone.pods" (list . "etcd" .Values.etcd.replicas 2379) -}}
{{- else -}}
{{- range .Values.etcd.external.endpoints }}
- {{ . }}
{{- end }}
{{- end -}}
{{- end -}}

{{- /* The part of a service's configuration that says where etcd is. */ -}}
{{- define "drystone.etcd.client" -}}
etcd:
  endpoints:
    {{- include "drystone.etcd.endpoints" . | trim | nindent 4 }}
  {{- if include "drystone.etcd.secret" . }}
  tls:
    ca_file: /etc/etcd/ca.crt
    cert_file: /etc/etcd/client.crt
    key_file: /etc/etcd/client.key
  {{- end }}
{{- end -}}

{{- define "drystone.etcd.clientMount" -}}
{{- if include "drystone.etcd.secret" . }}
- {name: etcd-client, mountPath: /etc/etcd, readOnly: true}
{{- end }}
{{- end -}}

{{- define "drystone.etcd.clientVolume" -}}
{{- with include "drystone.etcd.secret" . }}
- name: etcd-client
  secret:
    secretName: {{ . }}
    defaultMode: 0440
    items:
      - {key: ca.crt, path: ca.crt}
      - {key: client.crt, path: client.crt}
      - {key: client.key, path: client.key}
{{- end }}
{{- end -}}

{{- /* Peer addresses for --initial-cluster. */ -}}
{{- define "drystone.etcd.cluster" -}}
{{- $host := include "drystone.host" (list . "etcd") -}}
{{- $members := list -}}
{{- range $i := until (int .Values.etcd.replicas) -}}
{{- $name := printf "%s-etcd-%d" (include "drystone.fullname" $) $i -}}
{{- $members = append $members (printf "%s=https://%s.%s:2380" $name $name $host) -}}
{{- end -}}
{{- join "," $members -}}
{{- end -}}

{{- /* Client URLs of all members, with commas. */ -}}
{{- define "drystone.etcd.urls" -}}
{{- $urls := list -}}
{{- range (include "drystone.etcd.endpoints" . | fromYamlArray) -}}
{{- $urls = append $urls (printf "https://%s" .) -}}
{{- end -}}
{{- join "," $urls -}}
{{- end -}}

{{- /* A pod that takes a snapshot of etcd. */ -}}
{{- define "drystone.etcd.snapshotPod" -}}
metadata:
  labels:
    {{- include "drystone.labels" (list . "etcd-snapshot") | nindent 4 }}
spec:
  restartPolicy: OnFailure
  serviceAccountName: {{ include "drystone.fullname" . }}-etcd
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- include "drystone.pullSecrets" . | nindent 2 }}
  securityContext:
    {{- include "drystone.podSecurity" . | nindent 4 }}
  {{- with .Values.etcd.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.etcd.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: snapshot
      {{- include "drystone.container" (list . "etcd" .Values.jobs.resources) | nindent 6 }}
      args:
        - snapshot
        - --endpoints={{ include "drystone.etcd.urls" . }}
        - --cacert=/etc/etcd/ca.crt
        - --cert=/etc/etcd/client.crt
        - --key=/etc/etcd/client.key
        - --dir=/snapshots
        - --keep={{ .Values.etcd.snapshot.keep }}
      env:
        {{- include "drystone.env" .Values.jobs.resources | nindent 8 }}
      volumeMounts:
        - {name: snapshots, mountPath: /snapshots}
        {{- include "drystone.etcd.clientMount" . | nindent 8 }}
  volumes:
    - name: snapshots
      persistentVolumeClaim: {claimName: {{ include "drystone.fullname" . }}-etcd-snapshots}
    {{- include "drystone.etcd.clientVolume" . | nindent 4 }}
{{- end -}}
