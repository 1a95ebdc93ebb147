{{- /* k and m of the scheme, and what follows from them. */ -}}
{{- define "drystone.scheme.k" -}}{{ index (splitList "-" .Values.scheme) 1 }}{{- end -}}
{{- define "drystone.scheme.m" -}}{{ index (splitList "-" .Values.scheme) 2 }}{{- end -}}
{{- define "drystone.scheme.columns" -}}
{{- add (include "drystone.scheme.k" .) (include "drystone.scheme.m" .) -}}
{{- end -}}

{{- /* Columns that a volume of any bucket can do without. */ -}}
{{- define "drystone.chunkserver.leastParity" -}}
{{- $m := int (include "drystone.scheme.m" .) -}}
{{- min $m (.Values.chunkserver.leastParity | default $m) -}}
{{- end -}}

{{- /* Chunk-servers of a zone, of three. */ -}}
{{- define "drystone.chunkserver.perZone" -}}
{{- div (add .Values.chunkserver.replicas 2) 3 -}}
{{- end -}}

{{- /* The most columns of a volume that lie on one chunk-server. Placement spreads them over zones first, then over Nodes,
then over the chunk-servers of a Node, each evenly, and what is left over goes where chunk-servers hold fewest. So one holds
more than one only if there are fewer of them than columns, and the fullest is on the Node with fewest in the zone with fewest.
On how many Nodes they lie is not known here: all numbers are tried. Three zones are taken for granted, evenly filled. */ -}}
{{- define "drystone.chunkserver.columns" -}}
{{- $replicas := int .Values.chunkserver.replicas -}}
{{- $columns := int (include "drystone.scheme.columns" .) -}}
{{- $most := 1 -}}
{{- if lt $replicas $columns -}}
{{- $zones := min 3 $replicas -}}
{{- $ofZone := add (div $columns $zones) (ternary 1 0 (gt (mod $columns $zones) (mod $replicas $zones))) -}}
{{- $pods := div $replicas $zones -}}
{{- range $nodes := untilStep 1 (int (add $pods 1)) 1 -}}
{{- $alone := div $pods $nodes -}}
{{- $ofNode := add (div $ofZone $nodes) (ternary 1 0 (gt (mod $ofZone $nodes) (mod $pods $nodes))) -}}
{{- $most = max $most (div (add $ofNode $alone -1) $alone) -}}
{{- end -}}
{{- end -}}
{{- min $most .Values.chunkserver.disksPerNode -}}
{{- end -}}

{{- /* Chunk-servers that may be away on purpose: those of one zone of three, if every volume can be read without them.
Pods of a drained node wait for their disks and count as away, so fewer would make the drain hang. 0: there is no such number. */ -}}
{{- define "drystone.chunkserver.budget" -}}
{{- min (include "drystone.chunkserver.perZone" .) (div (include "drystone.chunkserver.leastParity" .) (include "drystone.chunkserver.columns" .)) -}}
{{- end -}}

{{- /* Whether a chunk-server's zone comes from the labels of its pod: true or empty. */ -}}
{{- define "drystone.chunkserver.zoneFromPod" -}}
{{- $from := .Values.chunkserver.zone.from -}}
{{- if or (eq $from "pod") (and (eq $from "auto") (semverCompare ">=1.35.0-0" .Capabilities.KubeVersion.Version)) -}}true{{- end -}}
{{- end -}}
