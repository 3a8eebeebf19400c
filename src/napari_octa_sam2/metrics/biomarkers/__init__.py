"""What vessels and the foveal avascular zone measure."""
