"""How well the method works: metrics, data sets, baselines, tables and figure sheets."""
