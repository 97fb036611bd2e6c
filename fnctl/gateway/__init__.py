"""The HTTP front door: routes requests to functions, relays them over the instances' connections, answers errors."""
