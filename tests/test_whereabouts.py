"""Who changes a module finds its tests: in a file of its name, or in those that are listed here."""

from __future__ import annotations

from pathlib import Path

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "pyloader"
ROOMS = ("files", "files/stores", "plan", "read", "deliver", "run")

# What is tested with others, or only as a whole.
TESTED_IN = {
    "files/address_patterns": ["files/test_stored_choices", "write/test_stored_inputs"],
    "files/stored_objects": ["files/test_stored_listing", "files/test_stored_choices"],
    "files/stored_path": ["cli/test_index_addresses", "read/test_check_reader"],
    "files/atomic": ["write/test_restart", "write/test_no_room"],
    "files/chunk_list": ["files/test_listing"],
    "files/conversions": ["files/test_sniffing"],
    "files/mixed_chunks": ["test_mixture", "system/test_mixtures_at_random"],
    "files/mixed_stored": ["run/test_stored_mixtures", "test_mixture"],
    "files/no_room": ["write/test_no_room"],
    "files/origins": ["write/test_added_parts", "files/test_manifest"],
    "files/part_opening": ["read/test_parts"],
    "files/line_files": ["read/test_parts"],
    "files/saved_datasets": ["read/test_huggingface"],
    "files/scanning": ["files/test_listing"],
    "files/stores/answers": ["files/stores/test_remote", "files/stores/test_secrets"],
    "files/stores/memory": ["files/stores/test_store"],
    "files/stores/opening": ["files/stores/test_addresses"],
    "files/stores/retry_after": ["files/stores/test_remote"],
    "files/takes": ["files/test_store_lock"],
    "files/unpacking": ["files/test_compressors", "read/test_bombs"],
    "files/verification": ["system/test_verification"],
    "files/zstd_frames": ["files/test_compressors", "read/test_parts"],
    "plan/buckets": ["run/test_buckets"],
    "plan/consistency": ["system/test_tampered_states"],
    "plan/items": ["indexed/test_resume", "indexed/test_dataloader"],
    "plan/locating": ["system/test_locating"],
    "plan/mixture": ["system/test_mixtures_at_random", "test_mixture"],
    "plan/mixture_state": ["test_mixture"],
    "plan/packed_rows": ["run/test_packed", "run/test_packed_audit"],
    "plan/position": ["plan/test_state", "system/test_resume"],
    "plan/seeds": ["plan/test_permutation"],
    "plan/shares": ["plan/test_schedule"],
    "plan/steps": ["plan/test_streams", "system/test_exactly_once"],
    "read/csv_parts": ["read/test_parts"],
    "read/cutting": ["read/test_tfrecord", "read/test_mds"],
    "read/decoding": ["read/test_webdataset"],
    "read/json_problems": ["read/test_jsonl"],
    "read/footer_columns": ["read/test_parquet_footers"],
    "read/line_blocks": ["read/test_parts"],
    "read/line_parts": ["read/test_parts"],
    "read/mds_encodings": ["read/test_mds"],
    "read/nulls": ["system/test_nulls"],
    "read/numbers": ["read/test_jsonl", "system/test_gaps"],
    "read/array_rows": ["read/test_hdf5", "read/test_zarr_arrays"],
    "read/offset_tables": ["read/test_mds", "read/test_litdata"],
    "read/options": ["read/test_registry"],
    "read/ragged_tables": ["read/test_huggingface", "read/test_lance_tables"],
    "read/row_groups": ["read/test_parts"],
    "read/spans": ["read/test_mds", "read/test_tfrecord"],
    "read/tar_ahead": ["read/test_tar_runs"],
    "read/tar_members": ["read/test_webdataset"],
    "read/tf_examples": ["read/test_tfrecord"],
    "read/wire": ["read/test_tfrecord"],
    "read/zarr_places": ["read/test_zarr_arrays"],
    "deliver/in_order": ["deliver/test_map_in_order"],
    "deliver/inline": ["deliver/test_map_in_order"],
    "deliver/byte_budget": ["system/test_bytes"],
    "deliver/lifecycle": ["system/test_clean", "system/test_exits"],
    "deliver/engines": ["write/test_engines"],
    "deliver/lock_turns": ["write/test_tasks"],
    "deliver/process_engine": ["write/test_engines"],
    "deliver/pickling": ["deliver/test_processes"],
    "deliver/budget": ["system/test_bounded"],
    "deliver/turns": ["system/test_several_threads"],
    "deliver/worker": ["deliver/test_processes", "system/test_process_workers"],
    "run/chosen_reader": ["test_options", "test_dataloader"],
    "run/chunk_lengths": ["run/test_packed", "run/test_buckets"],
    "run/packed_counts": ["run/test_packed"],
    "run/units": ["run/test_packed_audit", "run/test_buckets"],
    "run/filling": ["cli/test_fetch"],
    "run/loader_options": ["test_options", "test_dataloader"],
    "run/located_sources": ["cli/test_locate"],
    "run/loop": ["run/test_one_road", "system/test_never_hang"],
    "run/mixed_groups": ["system/test_mixtures_at_random"],
    "run/mixed_windows": ["test_mixture"],
    "run/mixture_arguments": ["test_mixture"],
    "run/options": ["test_options"],
    "run/ranks": ["system/test_ranks", "system/test_ranks_refused"],
    "run/replacements": ["system/test_left_out"],
    "run/resident": ["system/test_bytes"],
    "run/resolving": ["test_options", "test_dataloader"],
    "run/run": ["system/test_same_batches", "system/test_exactly_once"],
    "run/sample_ids": ["system/test_tracing", "system/test_row_keys"],
    "run/skipped": ["system/test_left_out"],
    "run/tracing": ["observe/test_tracing"],
    "run/usercode": ["system/test_process_workers", "run/test_transient"],
}


def has_file(name: str) -> bool:
    room, _, module = name.rpartition("/")
    return (TESTS / room / f"test_{module}.py").exists()


def modules() -> set[str]:
    found = {f"{room}/{path.stem}" for room in ROOMS for path in (PACKAGE / room).glob("*.py")}
    return {name for name in found if not name.endswith("/__init__")}


def test_each_module_has_its_tests_in_a_file_of_its_name_or_is_listed():
    missing = sorted(name for name in modules() if not has_file(name) and name not in TESTED_IN)
    assert not missing, "write tests/ROOM/test_MODULE.py, or list in TESTED_IN where they are tested"


def test_what_is_listed_is_there_and_needs_to_be_listed():
    assert not sorted(TESTED_IN.keys() - modules()), "there is no such module"
    assert not sorted(name for name in TESTED_IN if has_file(name)), "these have a file of their name"
    listed = {test for tests in TESTED_IN.values() for test in tests}
    assert not sorted(test for test in listed if not (TESTS / f"{test}.py").exists()), "there is no such file"
