"""The services of TDScaling, the chassis they stand on, and the console."""
