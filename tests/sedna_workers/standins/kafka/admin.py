NewTopic = dict
