"""The HTTP front state: routes requests to functions, relays them over the instances' connections, answers errors."""
