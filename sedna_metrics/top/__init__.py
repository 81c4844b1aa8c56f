"""``sedna-metrics top``: what workers are doing, live in a terminal.

``sources`` reads samples, ``figures`` makes of two looks what is shown, ``screen`` draws it.
"""
