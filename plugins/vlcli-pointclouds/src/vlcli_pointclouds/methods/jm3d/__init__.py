"""JM3D and JM3D-LLM."""
