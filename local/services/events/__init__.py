"""EventBridge: rules, transformers and targets."""
