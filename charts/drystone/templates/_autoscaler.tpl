{{- /* Pods of a Deployment. Argument: [root, component]. With an autoscaler as many as there are: a Deployment that says nothing
falls to one pod when the autoscaler is switched on, until that has acted. */ -}}
{{- define "drystone.replicas" -}}
{{- $root := index . 0 -}}
{{- $values := index $root.Values (index . 1) -}}
{{- if $values.autoscaling.enabled -}}
{{- $live := lookup "apps/v1" "Deployment" $root.Release.Namespace (printf "%s-%s" (include "drystone.fullname" $root) (index . 1)) -}}
{{- max $values.autoscaling.minReplicas (dig "spec" "replicas" 0 $live) -}}
{{- else -}}
{{- $values.replicas -}}
{{- end -}}
{{- end -}}

{{- /* Scales a Deployment by CPU. Argument: [root, component]. */ -}}
{{- define "drystone.autoscaler" -}}
{{- $root := index . 0 -}}
{{- $component := index . 1 -}}
{{- $scaling := (index $root.Values $component).autoscaling -}}
{{- if $scaling.enabled }}
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  {{- include "drystone.meta" . | nindent 2 }}
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: {{ include "drystone.fullname" $root }}-{{ $component }}
  minReplicas: {{ $scaling.minReplicas }}
  maxReplicas: {{ $scaling.maxReplicas }}
  metrics:
    - type: Resource
      resource:
        name: cpu
        target: {type: Utilization, averageUtilization: {{ $scaling.targetCPU }}}
  behavior:
    scaleDown:
      # A front-door that goes seals its volumes, a new metadata replica reads all names: both want to be worth it.
      stabilizationWindowSeconds: 600
{{- end }}
{{- end -}}
