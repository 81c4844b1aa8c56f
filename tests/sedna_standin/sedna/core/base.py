class JobBase:
    model_path = "/models/first.pb"
    reports = ()

    def __init__(self, estimator, config=None):
        self.estimator = estimator

    def get_parameters(self, param, default=None):
        from sedna.common.config import Context

        return Context.get_parameters(param, default)

    def report_task_info(self, task_info, status, results=None, kind="train"):
        self.reports += ((kind, status, results),)
        return "reported"
