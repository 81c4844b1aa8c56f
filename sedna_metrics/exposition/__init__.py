"""Ways out of the process: /metrics for a scrape, a push to a Pushgateway."""
