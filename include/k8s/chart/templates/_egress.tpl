{{- /* A list of rules, as JSON: one for each place that has a destination. A place without one stays closed. */ -}}
{{- define "nightshift.egress" -}}
{{- $rules := list -}}
{{- range . -}}
{{- if .to -}}
{{- $rules = append $rules (dict "to" .to "ports" (list (dict "protocol" "TCP" "port" (int .port)))) -}}
{{- end -}}
{{- end -}}
{{- toJson $rules -}}
{{- end -}}
