"""Many streets: workers that aggregate shards of them behind MQTT, and the load that tests them."""
