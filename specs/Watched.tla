------------------------------- MODULE Watched -------------------------------
(***************************************************************************)
(* The same machine in the same world, watched: every step of the machine  *)
(* is told, so that herdless_core.transition can be compared with it, and  *)
(* with each step the promises that it could have broken.                  *)
(*                                                                         *)
(* States from which the same can happen are one here, which is what lets  *)
(* two callers and two truths be looked at under any policy in seconds.    *)
(***************************************************************************)
EXTENDS MCCacheEntry, TLC

VARIABLE
  move  \* what happened last, and to which flight: only looked at, never used

\* All of it, with the last move.
watchedVars == <<vars, move>>

-----------------------------------------------------------------------------
(* What a state amounts to *)

\* How many clients wait for what; who they are makes no difference to anything.
Crowd == {<<clients[c], Cardinality({d \in Clients : clients[d] = clients[c]})>> : c \in Clients}

\* What may still happen depends on this alone: the entry as the next step will see it, and nothing of the last orders.
Amount == <<Aged(entry), detached, loads, Crowd, truth, floor, generation>>

-----------------------------------------------------------------------------
(* The moves, with their names *)

\* Takes note of a move of the machine.
Noted(name, subject) == move' = <<name, subject>>

\* Takes note of a move of the world alone.
Quiet(name) == move' = <<name>>

\* What can happen.
WatchedStep ==
  \/ (\E c \in Clients : Get(c)) /\ Noted("Get", 0)
  \/ Put /\ Noted("Put", 0)
  \/ Invalidate /\ Noted("Invalidate", 0)
  \/ Expire /\ Noted("Expire", 0)
  \/ Refresh /\ Noted("Refresh", 0)
  \/ Evict /\ Noted("Evict", 0)
  \/ \E g \in 1 .. MaxGeneration : LoadReads(g) /\ Quiet("LoadReads")
  \/ \E g \in 1 .. MaxGeneration : LoadSucceeded(g) /\ Noted("LoadSucceeded", <<g, LoadOf(g).read>>)
  \/ \E g \in 1 .. MaxGeneration : LoadFailed(g) /\ Noted("LoadFailed", g)
  \/ \E g \in 1 .. MaxGeneration : DeadlinePassed(g) /\ Noted("DeadlinePassed", g)
  \/ \E c \in Clients, can_cancel \in CanCancel :
       WaiterLeft(c, can_cancel) /\ Noted("WaiterLeft", <<clients[c].waits_for, can_cancel>>)
  \/ \E c \in Clients : SoftTimeoutPassed(c) /\ Noted("SoftTimeoutPassed", clients[c].waits_for)
  \/ Restarted /\ Noted("Restarted", 0)
  \/ TruthChanges /\ Quiet("TruthChanges")
  \/ Tick /\ Quiet("Tick")

\* The machine in its world, watched.
WatchedSpec == Init /\ move = <<>> /\ [][WatchedStep]_watchedVars

-----------------------------------------------------------------------------
(* The situations in which a promise could be broken *)

\* The loads that end by the step.
Ended == {l \in loads : ~\E left \in loads' : left.generation = l.generation}

\* The load behind a value fails, or is given up.
RefreshFails ==
  /\ ~(Answers /\ LoadRaised(entry.flight.generation, NotFound))
  /\ HasOutcome(Aged(entry)) /\ ~IsError(Aged(entry).value)
  /\ \/ move' = <<"LoadFailed", entry.flight.generation>>
     \/ move' = <<"DeadlinePassed", entry.flight.generation>> /\ entry.flight.due_at = 0

\* For each formula of CacheEntryInv.tla, whether the step, or the state that it leads to, could break it.
Tried == [
  WellFormedInv |-> HasOutcome(entry'),
  HitUntilInv |-> entry'.state = "Fresh" /\ entry'.hit_until > 0,
  NoStaleSetInv |-> HasOutcome(entry') /\ ~IsError(entry'.value) /\ floor' > 1,
  AnsweredOnceInv |-> \E c \in Clients : clients'[c] # Idle,
  WaiterCountInv |-> \E c \in Clients : clients'[c] # Idle,
  BoundedInv |-> move'[1] = "Get" /\ entry.flight.waiters >= MaxWaiters /\ entry.flight.due_at > 0,
  GenerationInv |-> Cardinality(loads') > 1,
  SingleFlightProp |-> move'[1] \in {"Get", "Refresh"} /\ HasFlight(entry),
  NoStaleSetProp |-> \E l \in Ended : l.generation # entry.flight.generation,
  NoStaleReadProp |-> \E l \in Ended : l.read \in 1 .. floor - 1,
  AnsweredOnceProp |-> \E s \in Of(effects', "Settle") : WaitersOf(s.generation) # {},
  SameOutcomeProp |-> \E s \in Of(effects', "Settle") : Cardinality(WaitersOf(s.generation)) > 1,
  NoDoomedJoinProp |-> Of(effects', "Join") # {} /\ \E l \in loads : l.generation # entry'.flight.generation,
  HitAgeProp |-> \E a \in Of(effects', "Answer") : IsValue(a.outcome),
  StaleIfErrorProp |-> RefreshFails,
  AnswersReplaceProp |-> Answers /\ HasOutcome(Aged(entry)) /\ LoadRaised(entry.flight.generation, NotFound),
  NotKeptProp |-> MayNotKeep /\ HasOutcome(Aged(entry)) /\ (\E age \in Ages : LoadGave(entry.flight.generation, DoNotKeep, age)),
  ReloadIsNewProp |-> MayReload /\ HasOutcome(Aged(entry)) /\ \E c \in Clients : GetOrReload(c, TRUE),
  SoftAnswerProp |-> move'[1] = "SoftTimeoutPassed" /\ HasOutcome(Aged(entry)),
  BacksOffProp |-> RefreshFails /\ RefreshBackoff > 0,
  GenerationMonotoneProp |-> Of(effects', "StartLoad") # {},
  EvictedIsFinalProp |-> detached # {} /\ detached' # {},
  PendingIsNoVictimProp |-> move'[1] = "Evict" /\ entry.flight.waiters > 0,
  SaveBeforeSettleProp |-> Of(effects', "Settle") # {} /\ Of(effects', "Save") \union Of(effects', "Forget") # {},
  UnwantedIsCancelledProp |-> HasFlight(entry),
  RefreshLoadsProp |-> move'[1] = "Refresh" /\ ~HasFlight(entry),
  ExpireKeepsWindowsProp |-> move'[1] = "Expire" /\ Aged(entry).state = "Fresh" /\ ~IsError(entry.value),
  RefreshIsStartedProp |-> Of(effects', "Answer") # {} /\ ~HasFlight(entry) /\ DueForRefresh(Aged(entry)),
  CancelledIsGoneProp |-> Of(effects', "CancelLoad") # {},
  EveryGetAnsweredLive |-> \E c \in Clients : clients'[c] # Idle,
  StaleIsRefreshedLive |-> entry'.state = "Stale" /\ HasFlight(entry') ]

\* The entry after the step; where the step was not its own, as the next one will see it.
Afterwards == IF entry' = entry THEN Aged(entry) ELSE entry'

\* Tells every step of the machine: what happened, to what, what was ordered, what came of it, and what it tried.
Told ==
  Len(move') = 1 \/ PrintT(<<"step", move', Aged(entry), detached, effects', Afterwards, detached', Tried>>)
=============================================================================
