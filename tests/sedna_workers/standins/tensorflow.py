"""Stands in for TensorFlow: the names that Sedna's Keras backend mentions, which these workers never come to use."""


class compat:
    class v1:
        ConfigProto = Session = reset_default_graph = None
