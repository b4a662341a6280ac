"""What /metrics says."""

import httpx2
from prometheus_client.parser import text_string_to_metric_families


async def metric(client: httpx2.AsyncClient, name: str, **labels: str) -> float:
    """Return the sum of a metric's samples that have these labels."""
    text = (await client.get("/metrics")).text
    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return sum(sample.value for sample in samples if sample.name == name and labels.items() <= sample.labels.items())
