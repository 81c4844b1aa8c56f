module sedna-metrics/tests

go 1.24.5

require (
	github.com/compose-spec/compose-go/v2 v2.9.0
	k8s.io/kube-state-metrics/v2 v2.18.0
)
