# What every process of the cluster has in its environment; sourced by cluster.yaml's commands and before a sweep.
export PATH="$HOME/venv/bin:$PATH"
export DERMTUNE_CACHE=/shared/cache
export HF_HOME=/shared/cache/huggingface
export RAY_AUTH_MODE=token
export RAY_USAGE_STATS_ENABLED=0
