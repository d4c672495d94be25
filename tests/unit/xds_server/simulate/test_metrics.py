from prometheus_client.parser import text_string_to_metric_families

from xds_server.simulate.metrics import MAX_RUNNING, VllmMetrics


def samples(metrics):
    families = text_string_to_metric_families(metrics.page().decode())
    return {
        (sample.name, sample.labels.get("finished_reason", "")): sample
        for family in families
        for sample in family.samples
    }


def test_the_page_has_the_names_that_routers_read_before_any_request():
    page = samples(VllmMetrics("llama-1b", ["sql-lora"]))

    assert {name for name, _ in page} == {
        "vllm:num_requests_running",
        "vllm:num_requests_waiting",
        "vllm:gpu_cache_usage_perc",
        "vllm:kv_cache_usage_perc",
        "vllm:prompt_tokens_total",
        "vllm:generation_tokens_total",
        "vllm:request_success_total",
        "vllm:lora_requests_info",
    }
    assert page["vllm:num_requests_running", ""].labels == {"model_name": "llama-1b"}
    assert page["vllm:request_success_total", "stop"].value == 0


def test_requests_count_while_they_run_and_adapters_are_named():
    metrics = VllmMetrics("llama-1b", ["sql-lora", "food-review"])

    with metrics.running("sql-lora"), metrics.running("llama-1b"), metrics.running("other"):
        busy = samples(metrics)
    idle = samples(metrics)

    assert busy["vllm:num_requests_running", ""].value == 3
    assert 0 < busy["vllm:gpu_cache_usage_perc", ""].value < 1
    lora = busy["vllm:lora_requests_info", ""]
    assert lora.labels["running_lora_adapters"] == "sql-lora"
    assert lora.labels["max_lora"] == "2"
    assert lora.value > 1_500_000_000
    assert idle["vllm:num_requests_running", ""].value == 0
    assert idle["vllm:lora_requests_info", ""].labels["running_lora_adapters"] == ""


def test_requests_over_the_limit_count_as_waiting():
    metrics = VllmMetrics("llama-1b", [])
    metrics.in_flight = MAX_RUNNING + 5

    page = samples(metrics)

    assert page["vllm:num_requests_running", ""].value == MAX_RUNNING
    assert page["vllm:num_requests_waiting", ""].value == 5
    assert page["vllm:gpu_cache_usage_perc", ""].value == 1


def test_answers_count_by_the_reason_for_their_end():
    metrics = VllmMetrics("llama-1b", [])

    metrics.answered("stop", 3, 9)
    metrics.answered("length", 1, 2)

    page = samples(metrics)
    assert page["vllm:request_success_total", "stop"].value == 1
    assert page["vllm:request_success_total", "length"].value == 1
    assert page["vllm:prompt_tokens_total", ""].value == 4
    assert page["vllm:generation_tokens_total", ""].value == 11
