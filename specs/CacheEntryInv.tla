---------------------------- MODULE CacheEntryInv ----------------------------
(***************************************************************************)
(* What herdless promises of one key, under the names of the README and of *)
(* core/herdless_core/invariants.py. The suffix says of what kind it is:  *)
(*                                                                         *)
(*   ...Inv    of every state                                              *)
(*   ...Prop   of every step                                               *)
(*   ...Live   of every behaviour, under the fairness that the             *)
(*             specification at the end states                             *)
(*                                                                         *)
(* TimeShift, that adding a constant to every instant changes nothing, is  *)
(* not among them: here instants count from now, so it cannot be broken.   *)
(***************************************************************************)
EXTENDS CacheEntry

\* What a caller gets by an outcome is a value.
IsValue(outcome) == ~IsError(outcome.value)

\* The flights that are awaited: of the entry and of those removed.
Flights == {e.flight : e \in {entry} \union detached} \ {NoFlight}

\* The clients that wait for a flight.
WaitersOf(g) == {c \in Clients : clients[c].waits_for = g}

\* Whether a lookup that is answered with what the entry holds should have it loaded anew.
DueForRefresh(e) == (e.state = "Fresh" /\ e.refresh_at = 0) \/ (e.state = "Stale" /\ e.retry_at = 0)

\* The outcome an entry holds, if any; an age is not part of it.
Held(e) == IF HasOutcome(e) THEN {e.value} ELSE {}

-----------------------------------------------------------------------------
(* Of every state *)

\* An entry says nothing of itself that contradicts itself; of errors it remembers the loader's own, and that of the
\* deadline where the policy says so.
WellFormedInv ==
  CASE entry.state = "Absent" -> entry.flight = NoFlight
    [] entry.state = "Pending" -> entry.flight # NoFlight
    [] entry.state = "Stale" -> entry.stale_until <= entry.kept_until /\ ~IsError(entry.value)
    [] entry.state = "Fresh" ->
         LET end == Instant(FreshUntil(entry))
         IN  CASE IsError(entry.value) -> IsMemorable(entry.value) /\ entry.hit_until = 0
               [] HasFlight(entry) -> entry.hit_until = Min(end, entry.flight.due_at)
               [] OTHER -> entry.hit_until = Min(end, entry.refresh_at)

\* Up to `hit_until` a lookup is a hit that needs no step: the hot path reads nothing but this.
HitUntilInv ==
  entry.state = "Fresh" /\ entry.hit_until > 0
    => GetStep(Aged(entry), generation + 1, FALSE) = Next(entry, <<Answer(OutcomeOf(entry))>>)

\* NoStaleSet, as seen in what is stored: never a value that was read before the last Put or Invalidate.
NoStaleSetInv == HasOutcome(entry) /\ ~IsError(entry.value) => entry.value >= floor

\* AnsweredOnce, one half: a lookup gets one reply, at first, and whoever waits, waits for a flight whose end will answer him.
AnsweredOnceInv ==
  /\ LET orders == GetStep(Aged(entry), generation + 1, FALSE).effects
     IN  {i \in DOMAIN orders : orders[i].order \in {"Answer", "Join", "Refuse"}} = {1}
  /\ \A c \in Clients : clients[c] # Idle => \E f \in Flights : f.generation = clients[c].waits_for

\* WaiterCount: a flight counts those who wait for it, and a removed entry is kept for them alone.
WaiterCountInv ==
  /\ \A f \in Flights : f.waiters = Cardinality(WaitersOf(f.generation))
  /\ \A d \in detached : d.flight.waiters > 0

\* Bounded: never more than max_waiters callers wait for one flight.
BoundedInv == \A f \in Flights : f.waiters <= MaxWaiters

\* GenerationMonotone, as seen in the air: no two loads and no two awaited flights have the same generation.
GenerationInv ==
  /\ \A l \in loads : l.generation \in 1 .. generation
  /\ \A l, other \in loads : l.generation = other.generation => l = other
  /\ \A e, other \in {entry} \union detached : HasFlight(e) /\ e.flight.generation = other.flight.generation => e = other

-----------------------------------------------------------------------------
(* Of every step *)

\* SingleFlight: a load starts only where none is attached, or the one that was is settled by the same step.
SingleFlightProp ==
  [][ /\ Cardinality(Of(effects', "StartLoad")) <= 1
      /\ \A g \in Generations(effects', "StartLoad") :
           /\ entry'.flight.generation = g
           /\ HasFlight(entry) => entry.flight.generation \in Generations(effects', "Settle") ]_vars

\* NoStaleSet: the end of a load that is not the attached one, good or bad, leaves what is held as it was.
NoStaleSetProp ==
  [][ \A l \in loads :
        l.generation # entry.flight.generation /\ ~(\E left \in loads' : left.generation = l.generation)
          => Held(entry') \subseteq Held(entry) /\ Of(effects', "Save") = {} ]_vars

\* NoStaleRead: no lookup is answered with a value read before the last Put or Invalidate that preceded it.
NoStaleReadProp ==
  [][ /\ \A a \in Of(effects', "Answer") : IsValue(a.outcome) => a.outcome.value >= floor
      /\ \A s \in Of(effects', "Settle") : \A c \in WaitersOf(s.generation) :
           IsValue(s.outcome) => s.outcome.value >= clients[c].since ]_vars

\* AnsweredOnce, the other half: a flight is settled once, after which nobody waits for it.
AnsweredOnceProp ==
  [][ /\ Cardinality(Of(effects', "Settle")) = Cardinality(Generations(effects', "Settle"))
      /\ \A g \in Generations(effects', "Settle") :
           /\ \A c \in Clients : clients'[c].waits_for # g
           /\ \A e \in {entry'} \union detached' : e.flight.generation # g ]_vars

\* SameOutcome: what waiters get is what their load read, what was put, what was kept, or an error: the same for all.
SameOutcomeProp ==
  [][ \A s \in Of(effects', "Settle") :
        IsValue(s.outcome) =>
          \/ Load(s.generation, s.outcome.value) \in loads
          \/ s.outcome.value \in Held(Aged(entry))
          \/ Put /\ s.outcome.value = truth ]_vars

\* NoDoomedJoin: nobody joins a flight that is settled, cancelled, removed or past its deadline.
NoDoomedJoinProp ==
  [][ \A j \in Of(effects', "Join") :
        /\ entry'.flight.generation = j.generation
        /\ j.generation \notin Generations(effects', "Settle") \union Generations(effects', "CancelLoad")
        /\ j.leads \/ entry'.flight.due_at > 0 ]_vars

\* Somebody who waited is answered, and the flight goes on.
IsAnsweredSoftly ==
  \E c \in Clients : clients[c] # Idle /\ clients'[c] = Idle /\ clients[c].waits_for = entry'.flight.generation

\* HitAge: a hit is younger than its ttl, a stale hit than ttl + stale_while_revalidate, or a failed refresh is backing off, or
\* its client has waited for soft_timeout; behind a stale hit a refresh is in flight or backing off. What a load gives is as
\* old as the load's START, and so much older as it was then; and it lives as long as was said of it, by the policy or by itself.
HitAgeProp ==
  [][ /\ \A a \in Of(effects', "Answer") :
           CASE IsError(a.outcome.value) -> Aged(entry).state = "Fresh" => entry.age < NegativeTtl
             [] ~a.outcome.is_stale -> a.outcome.age < Aged(entry).lifetime.ttl
             [] OTHER -> /\ \/ \E l \in Lifetimes : a.outcome.age < After(l.ttl, l.stale_while_revalidate)
                            \/ entry'.retry_at > 0 \/ IsAnsweredSoftly
                         /\ HasFlight(entry') \/ entry'.retry_at > 0
      /\ \A l \in Lifetimes, age \in Ages :
           /\ PutOf(l, age) => entry'.lifetime = l /\ entry'.age = Min(age, Cap)
           /\ LoadGave(entry.flight.generation, l, age)
                => entry'.lifetime = l /\ entry'.age = Min(entry.flight.age + age, Cap) ]_vars

\* A load fails, or is late; an answer is no failure.
Fails(g) == DeadlinePassed(g) \/ \E error \in Errors : ~IsAnswer(error) /\ LoadRaised(g, error)

\* StaleIfError: a load that fails or is late leaves a usable value where it is, and its waiters get that value.
StaleIfErrorProp ==
  [][ \A g \in 1 .. generation :
        \/ /\ Held(entry') = Held(entry)
           /\ \A s \in Of(effects', "Settle") : s.generation = entry.flight.generation => {s.outcome.value} = Held(entry)
        \/ Held(Aged(entry)) = {}
        \/ IsError(entry.value)
        \/ ~Fails(g) ]_vars

\* AnswersReplace: after an error that is an answer nobody is given what was held before, and who waited gets the error.
AnswersReplaceProp ==
  [][ \A g \in 1 .. generation :
        Answers /\ g = entry.flight.generation /\ LoadRaised(g, NotFound)
        => /\ Held(entry') \subseteq {NotFound}
           /\ \A s \in Of(effects', "Settle") : s.outcome = Failure(NotFound) ]_vars

\* NotKept: a value that is not to be kept is stored nowhere, and what was held before stays.
NotKeptProp ==
  [][ \A g \in 1 .. generation :
        MayNotKeep /\ (\E age \in Ages : LoadGave(g, DoNotKeep, age))
        => Of(effects', "Save") = {} /\ (entry' = entry \/ Held(entry') = Held(Aged(entry))) ]_vars

\* ReloadIsNew: nothing that is held answers a reload: it joins the load in flight, or starts one.
ReloadIsNewProp ==
  [][ \A c \in Clients : MayReload /\ GetOrReload(c, TRUE) => Of(effects', "Answer") = {} ]_vars

\* SoftAnswer: who has waited for soft_timeout is answered with what is kept, and the load goes on; where nothing is kept,
\* nothing happens.
SoftAnswerProp ==
  [][ \A c \in Clients :
        HasSoftTimeout /\ SoftTimeoutPassed(c)
        => LET e == Aged(entry)
           IN  IF HasOutcome(e) /\ e.flight.generation = clients[c].waits_for
               THEN /\ effects' = <<Answer(OutcomeOf(e))>> /\ clients'[c] = Idle
                    /\ Held(entry') = Held(e) /\ entry'.flight.generation = e.flight.generation
               ELSE effects' = <<>> /\ clients' = clients ]_vars

\* BacksOff: after a failed refresh no lookup starts another one before refresh_backoff is over.
BacksOffProp ==
  [][ /\ Of(effects', "Answer") # {} /\ Of(effects', "StartLoad") # {}
        => LET e == Aged(entry)
           IN  /\ (IF e.state = "Fresh" THEN e.refresh_at ELSE e.retry_at) = 0
               /\ Of(effects', "CancelLoad") = {} \/ RefreshBackoff = 0
      /\ \A g \in 1 .. generation :
           /\ HasOutcome(entry') /\ HasFlight(entry) /\ ~HasFlight(entry')
           /\ Fails(g)
           /\ HasOutcome(Aged(entry))
           => IF entry'.state = "Fresh"
              THEN entry'.refresh_at >= RefreshBackoff
              ELSE entry'.retry_at >= RefreshBackoff ]_vars

\* GenerationMonotone: a new flight has the next generation; none is used twice, whatever happened in between.
GenerationMonotoneProp ==
  [][ /\ generation' \in {generation, generation + 1}
      /\ \A g \in Generations(effects', "StartLoad") : g = generation + 1 /\ generation' = g ]_vars

\* EvictedIsFinal: an entry that was removed gets no other flight, no more waiters and no other cause.
EvictedIsFinalProp ==
  [][ \A d \in detached' :
        \/ d.flight.generation = entry.flight.generation
        \/ \E old \in detached : /\ old.flight.generation = d.flight.generation
                                 /\ old.cause = d.cause
                                 /\ old.flight.waiters >= d.flight.waiters ]_vars

\* PendingIsNoVictim: capacity takes no entry for whose flight somebody waits, nor one that holds nothing.
PendingIsNoVictimProp ==
  [][ (entry.flight.waiters > 0 \/ ~HasOutcome(Aged(entry))) => entry' = Aged(entry) \/ ~Evict ]_vars

\* SaveBeforeSettle: whatever is to be durable is so before anybody is woken, and what is stored is saved.
SaveBeforeSettleProp ==
  [][ /\ \A i, j \in DOMAIN effects' :
           effects'[i].order = "Settle" /\ effects'[j].order \in {"Save", "Forget"} => j < i
      /\ Held(entry') \ Held(entry) # {} => Of(effects', "Save") # {} ]_vars

\* CancelledIsGone: a load is cancelled only when nobody awaits it any more.
CancelledIsGoneProp ==
  [][ \A g \in Generations(effects', "CancelLoad") : \A e \in {entry'} \union detached' : e.flight.generation # g ]_vars

\* UnwantedIsCancelled: a load that is given up, by whatever step, is cancelled; and it is given up when its last waiter
\* leaves, where the runtime can cancel it and no value is served meanwhile.
UnwantedIsCancelledProp ==
  [][ /\ \A f \in Flights :
           \/ \E e \in {entry'} \union detached' : e.flight.generation = f.generation
           \/ f.generation \in Generations(effects', "CancelLoad")
           \/ ~\E l \in loads' : l.generation = f.generation
           \/ Restarted
      /\ \A c \in Clients :
           entry.state = "Pending" /\ entry.flight.waiters = 1 /\ clients[c].waits_for = entry.flight.generation
           => /\ ~HasFlight(entry') \/ TRUE \notin CanCancel \/ ~WaiterLeft(c, TRUE)
              /\ HasFlight(entry') \/ FALSE \notin CanCancel \/ ~WaiterLeft(c, FALSE) ]_vars

\* RefreshLoads: a refresh starts a load, unless one is in flight.
RefreshLoadsProp == [][ HasFlight(entry) \/ Of(effects', "StartLoad") # {} \/ ~Refresh ]_vars

\* ExpireKeepsWindows: a fresh value that is expired is stale as of now, with its stale windows whole, and saved as that.
ExpireKeepsWindowsProp ==
  [][ Aged(entry).state = "Fresh" /\ ~IsError(entry.value) /\ Expire
        => /\ entry'.state = "Stale" /\ Held(entry') = Held(entry)
           /\ entry'.stale_until = entry.lifetime.stale_while_revalidate /\ entry'.kept_until = Kept(entry.lifetime)
           /\ Of(effects', "Save") # {} ]_vars

\* RefreshIsStarted: a lookup that is answered with a value past its early point, or a stale one, starts a load, unless one
\* is in flight or a failed one backs off.
RefreshIsStartedProp ==
  [][ \A a \in Of(effects', "Answer") :
        IsValue(a.outcome) /\ ~HasFlight(entry) /\ DueForRefresh(Aged(entry)) => Of(effects', "StartLoad") # {} ]_vars

-----------------------------------------------------------------------------
(* Of every behaviour *)

\* EveryGetAnswered: whoever waits will wait no more.
EveryGetAnsweredLive == \A c \in Clients : clients[c] # Idle ~> clients[c] = Idle

\* StaleIsRefreshed: a refresh behind a stale value comes to its end. That there is one, or a back-off, says HitAge.
StaleIsRefreshedLive == entry.state = "Stale" /\ HasFlight(entry) ~> ~(entry.state = "Stale" /\ HasFlight(entry))

\* Every load reads, and ends well or badly.
LoadsEnd ==
  \A g \in 1 .. MaxGeneration :
    WF_vars(LoadReads(g)) /\ WF_vars(LoadSucceeded(g) \/ LoadFailed(g))

\* Time goes on, and the timer of a flight that is due goes off.
TimersGoOff ==
  /\ WF_vars(Tick)
  /\ \A g \in 1 .. MaxGeneration :
       WF_vars((\E f \in Flights : f.generation = g /\ f.due_at = 0) /\ DeadlinePassed(g))

\* Loads end; clocks may stand still.
SpecWhereLoadsEnd == Spec /\ LoadsEnd

\* Loads may hang; timers go off.
SpecWhereTimersGoOff == Spec /\ TimersGoOff
=============================================================================
