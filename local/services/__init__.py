"""What MiniStack lacks of AWS's services, a folder a service."""
