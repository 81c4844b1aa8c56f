class DataSource:
    pass
