"""The state of an area each interval: collecting, forecasting, estimating, publishing; three levels."""
