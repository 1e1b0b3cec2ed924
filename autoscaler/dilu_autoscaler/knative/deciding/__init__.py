"""Every revision's scaler in the one loop: KPA's, or co-scaling's where a revision opted in."""
