{{- /* A service whose name stands for the addresses of its pods. Argument: [root, component, true: also pods that are not ready]. */ -}}
{{- define "drystone.headless" -}}
apiVersion: v1
kind: Service
metadata:
  {{- include "drystone.meta" (list (index . 0) (index . 1)) | nindent 2 }}
spec:
  clusterIP: None
  publishNotReadyAddresses: {{ index . 2 }}
  selector:
    {{- include "drystone.selector" (list (index . 0) (index . 1)) | nindent 4 }}
  ports:
    - {name: grpc, port: 7000, targetPort: grpc, appProtocol: kubernetes.io/h2c}
{{- end -}}
