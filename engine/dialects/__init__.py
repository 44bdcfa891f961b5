"""What vendors' applications say and want said, sans-IO: documents and requests in, programs and webhooks out."""
