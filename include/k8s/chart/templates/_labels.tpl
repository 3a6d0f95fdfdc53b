{{- /* Of every object. */ -}}
{{- define "nightshift.labels" -}}
app.kubernetes.io/part-of: nightshift
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{- /* The hosts that MLflow answers to: its service by every name it has in a cluster, and those of the values. */ -}}
{{- define "nightshift.mlflow.hosts" -}}
{{- $hosts := list -}}
{{- range $name := list "nightshift-mlflow" (printf "nightshift-mlflow.%s" .Release.Namespace) (printf "nightshift-mlflow.%s.svc" .Release.Namespace) (printf "nightshift-mlflow.%s.svc.cluster.local" .Release.Namespace) -}}
{{- $hosts = concat $hosts (list (printf "%s:5000" $name)) -}}
{{- end -}}
{{- join "," (concat $hosts .Values.mlflow.hosts) -}}
{{- end -}}
