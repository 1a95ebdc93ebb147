{{- /* k and m of the scheme, and what follows from them. */ -}}
{{- define "drystone.scheme.k" -}}{{ index (splitList "-" .Values.scheme) 1 }}{{- end -}}
{{- define "drystone.scheme.m" -}}{{ index (splitList "-" .Values.scheme) 2 }}{{- end -}}
{{- define "drystone.scheme.columns" -}}
{{- add (include "drystone.scheme.k" .) (include "drystone.scheme.m" .) -}}
{{- end -}}

{{- /* Chunk-servers that may be away on purpose: those of one zone of three, if every volume can be read without them.
Pods of a drained node wait for their disks and count as away, so fewer would make the drain hang. */ -}}
{{- define "drystone.chunkserver.maxUnavailable" -}}
{{- $self := .Values.chunkserver -}}
{{- if $self.maxUnavailable -}}
{{- $self.maxUnavailable -}}
{{- else -}}
{{- max 1 (min (div (add $self.replicas 2) 3) (include "drystone.scheme.m" .)) -}}
{{- end -}}
{{- end -}}

{{- /* Whether a chunk-server's zone comes from the labels of its pod: true or empty. */ -}}
{{- define "drystone.chunkserver.zoneFromPod" -}}
{{- $from := .Values.chunkserver.zone.from -}}
{{- if or (eq $from "pod") (and (eq $from "auto") (semverCompare ">=1.35.0-0" .Capabilities.KubeVersion.Version)) -}}true{{- end -}}
{{- end -}}
