"""Where demosaicers break: measures on synthetic scenes with known truth, next to Markesteijn 3-pass."""
