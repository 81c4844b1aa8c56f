"""A joint inference cloud worker as its author writes it."""

from sedna.core.joint_inference import BigModelService


class Estimator:
    def load(self, model_url=None):
        pass

    def predict(self, data, **kwargs):
        if data[0] == 0.25:
            raise ValueError("the big model does not like this one")
        return [[0, 0, 1, 1, 0.99, 1]]


if __name__ == "__main__":
    BigModelService(estimator=Estimator).start()
