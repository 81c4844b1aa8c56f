class NewTopic:
    pass
