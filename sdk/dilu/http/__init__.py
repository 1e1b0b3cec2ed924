"""HTTP that every part shares: listener and its bounds, headers, answers, server-sent events, and the client."""
