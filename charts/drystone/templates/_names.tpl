{{- define "drystone.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- /* Names of objects begin with this; 40 characters leave room for the longest suffix and a pod's number. */ -}}
{{- define "drystone.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "drystone.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "drystone.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- /* What pods of this release, and of one component, are selected by. Argument: [root, component]. */ -}}
{{- define "drystone.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ include "drystone.name" $root }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "drystone.labels" -}}
{{- $root := index . 0 -}}
{{ include "drystone.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: drystone
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* metadata of an object. Argument: [root, component] or [root, component, name's suffix]. */ -}}
{{- define "drystone.meta" -}}
{{- $root := index . 0 -}}
name: {{ include "drystone.fullname" $root }}-{{ if gt (len .) 2 }}{{ index . 2 }}{{ else }}{{ index . 1 }}{{ end }}
namespace: {{ $root.Release.Namespace }}
labels:
  {{- include "drystone.labels" (list $root (index . 1)) | nindent 2 }}
{{- end -}}

{{- define "drystone.image" -}}
{{- $root := index . 0 -}}
{{- $image := $root.Values.image -}}
{{- with $image.registry }}{{ trimSuffix "/" . }}/{{ end -}}
{{ $image.repository }}/{{ index . 1 }}:{{ $image.tag | default $root.Chart.AppVersion }}
{{- end -}}

{{- define "drystone.rootSecret" -}}
{{- .Values.auth.existingSecret | default (printf "%s-root" (include "drystone.fullname" .)) -}}
{{- end -}}

{{- /* DNS name of a headless service. Argument: [root, component]. */ -}}
{{- define "drystone.host" -}}
{{- $root := index . 0 -}}
{{ include "drystone.fullname" $root }}-{{ index . 1 }}.{{ $root.Release.Namespace }}.svc.{{ $root.Values.clusterDomain }}
{{- end -}}

{{- /* host:port of every pod of a StatefulSet, as a YAML list. Argument: [root, component, replicas, port]. */ -}}
{{- define "drystone.pods" -}}
{{- $root := index . 0 -}}
{{- $component := index . 1 -}}
{{- $host := include "drystone.host" (list $root $component) -}}
{{- range $i := until (int (index . 2)) }}
- {{ include "drystone.fullname" $root }}-{{ $component }}-{{ $i }}.{{ $host }}:{{ index $ 3 }}
{{- end }}
{{- end -}}
