"""Stands in for KubeEdge's sedna: the classes and signatures that are observed, and of their insides what matters."""
