"""Writes those of ``../files`` that rest on the metric catalogue, or on Sedna's kinds of custom resources.

Run by ``make stack``; needs the extra ``generate``. Each module gives ``FILES``, contents by path;
``_all`` has them together.
"""
