"""One call: its headers, its items in and out, its answer or stream."""
