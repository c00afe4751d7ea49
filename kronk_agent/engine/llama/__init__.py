"""llama.cpp: loading model files, contexts, batches and logs."""
