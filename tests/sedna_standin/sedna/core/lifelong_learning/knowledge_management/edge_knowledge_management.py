class EdgeKnowledgeManagement:
    def update_kb(self, task_index):
        if not isinstance(task_index, dict):
            return None
        self.save_task_index(task_index)
        return "/edge/index.pkl"

    def save_task_index(self, task_index, task_type="seen_task"):
        return None, task_index["task_groups"]
