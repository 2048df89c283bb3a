"""The scenarios of the contract suite that cannot apply to Durable Objects, each with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_NOT_SEEN = (
    "that a caller has gone is not seen inside an object: its load runs to its end, and it is counted as waiting"
)
_ONE_KEY = "an object is one key: there is no maxsize, no `clear`, and nothing is evicted"
_ITSELF = "an object is one key: nothing is asked of all keys, and its storage is what outlives its process"
_NO_CLOSE = "an object is not closed: the platform ends it, at any moment (tests/durable_objects/test_durability.py)"
_NO_TAGS = "an object is one key: nothing is invalidated together with others, and tags are refused"
_TEXT = "a key is a text, the name of its object (tests/durable_objects/test_outside.py)"
_BODIES = "values are JSON or bytes: they come back equal, not as the same object"
_TOLD = "of an error its name and its message leave the object: no cause, no traceback"
_BY_RPC = (
    "a loader's way to another object is RPC, which says nothing of who waits; `self.lookup()` of the own key is told"
)
_CLASS = "loader, policy, clock and observer are members of the class, and not arguments"
_RULES = "rules of a policy are functions, of another process than the scenario's (tests/durable_objects/test_entry.py)"
_ELSEWHERE = "the log and chance are those of another process"

EXEMPT: Final[Mapping[str, str]] = {
    "test_no_doomed_join_after_the_last_waiter": _NOT_SEEN,
    "test_bounded_waiters": _NOT_SEEN,
    "test_load_that_nobody_waits_for_is_cancelled": _NOT_SEEN,
    "test_load_that_nobody_waits_for_is_finished_where_asked": _NOT_SEEN,
    "test_all_waiters_leave_an_invalidated_load": _NOT_SEEN,
    "test_reload_that_leaves_while_an_older_load_runs_orders_none": _NOT_SEEN,
    "test_04_cancelled_load_that_unwinds_is_not_joined": _NOT_SEEN,
    "test_get_many_waits_for_one_soft_timeout": _ONE_KEY,
    "test_back_off_grows_with_failures_in_a_row": _RULES,
    "test_back_off_depends_on_the_error": _RULES,
    "test_negative_ttl_depends_on_the_error": _RULES,
    "test_function_that_cannot_say_is_told_in_the_error": _RULES,
    "test_no_stale_set_after_eviction": _ONE_KEY,
    "test_no_stale_set_after_clear": _ONE_KEY,
    "test_generation_monotone": _ONE_KEY,
    "test_pending_is_no_victim": _ONE_KEY,
    "test_bounded_size": _ONE_KEY,
    "test_hits_by_get_are_counted": _ONE_KEY,
    "test_evictions_are_counted": _ONE_KEY,
    "test_08_key_cleared_during_its_refresh_loads_again": _ONE_KEY,
    "test_15_validity_starts_with_the_load": _ONE_KEY,
    "test_16_clear_hits_a_pending_entry": _ONE_KEY,
    "test_20_pending_entry_is_not_evicted": _ONE_KEY,
    "test_keys_are_those_that_are_in_the_cache": _ITSELF,
    "test_cache_may_be_changed_while_one_goes_over_it": _ITSELF,
    "test_invalidate_where_leaves_nothing_that_was_read_before": _ITSELF,
    "test_what_is_loaded_after_invalidate_where_began_is_not_meant": _ITSELF,
    "test_predicate_that_raises_invalidates_nothing": _ITSELF,
    "test_expire_all_keeps_serving_as_stale": _ITSELF,
    "test_what_was_dumped_is_restored_with_its_age": _ITSELF,
    "test_only_values_are_dumped": _ITSELF,
    "test_restore_overwrites_nothing": _ITSELF,
    "test_restore_keeps_to_maxsize": _ITSELF,
    "test_a_bad_record_restores_nothing": _ITSELF,
    "test_ttl_of_is_what_is_left": "what is left is told by `lookup`",
    "test_closed_cache_has_no_contents": _NO_CLOSE,
    "test_tags_invalidate": _NO_TAGS,
    "test_several_tags_are_invalidated_at_once": _NO_TAGS,
    "test_value_that_replaces_another_has_its_own_tags": _NO_TAGS,
    "test_load_whose_tag_was_invalidated_is_not_stored": _NO_TAGS,
    "test_load_that_began_after_the_invalidation_is_stored": _NO_TAGS,
    "test_no_stale_read_of_a_tag": _NO_TAGS,
    "test_no_stale_read_of_a_tag_by_refresh": _NO_TAGS,
    "test_refresh_of_a_value_with_the_tag_is_superseded": _NO_TAGS,
    "test_waiter_of_an_outdated_load_may_leave": _NO_TAGS,
    "test_reload_is_not_given_what_a_tag_has_made_outdated": _NO_TAGS,
    "test_not_modified_keeps_the_tags": _NO_TAGS,
    "test_not_modified_does_not_undo_an_invalidation_by_a_tag": _NO_TAGS,
    "test_bad_tags_are_refused": _NO_TAGS,
    "test_bad_tag_is_refused": _NO_TAGS,
    "test_close_waits_for_awaited_loads": _NO_CLOSE,
    "test_close_waits_for_no_refresh": _NO_CLOSE,
    "test_close_cancel_answers_the_waiters": _NO_CLOSE,
    "test_close_twice": _NO_CLOSE,
    "test_closed_cache_refuses": _NO_CLOSE,
    "test_closed_cache_has_stats": _NO_CLOSE,
    "test_unhashable_key_is_refused": _TEXT,
    "test_same_outcome": _BODIES,
    "test_09_abnormal_end_settles_the_waiters": _TOLD,
    "test_traceback_of_a_shared_error_does_not_grow": _TOLD,
    "test_reentrant_load_leaves_no_trace": _BY_RPC,
    "test_25_loader_that_asks_for_its_own_key_is_told": _BY_RPC,
    "test_25_cycle_of_keys_is_told": _BY_RPC,
    "test_25_cycle_closed_from_both_sides_is_told": _BY_RPC,
    "test_25_cycle_across_caches_is_told": _BY_RPC,
    "test_observer_that_fails_is_logged": _CLASS,
    "test_bad_option_is_named": _CLASS,
    "test_clock_must_be_integer_nanoseconds": _CLASS,
    "test_function_that_cannot_say_what_is_an_answer_harms_nobody": _CLASS,
    "test_loader_must_be_callable": _CLASS,
    "test_whatever_raises_everybody_is_answered": _CLASS,
    "test_a_key_that_cannot_be_shown_is_loaded": _TEXT,
    "test_a_log_handler_that_raises_stops_no_load": _ELSEWHERE,
    "test_failed_refresh_is_logged": _ELSEWHERE,
    "test_jitter_only_shortens": _ELSEWHERE,
    "test_loader_of_the_caller_takes_the_place_of_the_caches": _CLASS,
    "test_loaders_of_those_who_join_are_not_called": _CLASS,
    "test_lookup_takes_a_loader_too": _CLASS,
    "test_failed_load_of_a_caller_is_loaded_anew_by_the_next": _CLASS,
    "test_cache_without_a_loader_answers_what_it_has": _CLASS,
    "test_caller_without_a_loader_joins_a_load": _CLASS,
    "test_stale_value_is_refreshed_by_the_loader_of_who_asks": _CLASS,
    "test_load_that_waits_for_its_turn_keeps_its_loader": _CLASS,
    "test_refresh_takes_a_loader": _CLASS,
    "test_loader_of_a_caller_is_let_go_with_its_load": _CLASS,
    "test_what_is_no_loader_is_refused": _CLASS,
    "test_values_come_in_the_order_of_the_keys": _ONE_KEY,
    "test_many_keys_are_loaded_by_one_call": _ONE_KEY,
    "test_herd_of_overlapping_pages_loads_each_key_once": _ONE_KEY,
    "test_misses_that_arrive_together_are_one_call": _ONE_KEY,
    "test_one_call_has_no_more_keys_than_batch_size": _ONE_KEY,
    "test_key_that_the_loader_leaves_out_is_a_miss_of_its_own": _ONE_KEY,
    "test_failing_call_fails_its_own_keys_only": _ONE_KEY,
    "test_key_that_is_invalidated_during_its_call_is_not_stored": _ONE_KEY,
    "test_loader_of_many_that_returns_no_mapping_is_named": _ONE_KEY,
    "test_loader_of_many_that_asks_for_its_own_keys_is_told": _ONE_KEY,
    "test_caller_of_many_who_leaves_takes_only_itself_away": _ONE_KEY,
    "test_many_are_put_and_invalidated": _ONE_KEY,
    "test_bad_keys_of_many_are_refused": _ONE_KEY,
    "test_stale_key_among_many_is_answered_at_once": _ONE_KEY,
    "test_many_keys_of_a_closed_cache_are_refused": _ONE_KEY,
}
