---------------------------- MODULE MCCacheEntry ----------------------------
(***************************************************************************)
(* For the model checker alone: what keeps large worlds small. The bounds  *)
(* themselves are constants, and stand in configurations.toml.             *)
(***************************************************************************)
EXTENDS CacheEntryInv

\* The same, with the entry as the next step will see it: what may still happen, and to whom.
Ahead == <<Aged(entry), detached, loads, clients, truth, floor, generation>>

\* Two states are one where only the orders of the last step differ. Every step is still judged by its own.
WithoutEffects == <<entry, detached, loads, clients, truth, floor, generation>>
=============================================================================
