"""What to do about an error, as the stack's own messages say it; a test holds these to them."""

ADVICE = {
    "Batch.BadData": "Correct the data and upload it again; a retry would not help.",
    "Batch.ObjectGone": "Upload the object again if it is still needed; a retry would not help.",
    "Batch.TryAgainLater": "Start it again once what it depends on is available.",
    "Batch.Misconfigured": "Correct the job's configuration, deploy, then start it again.",
    "Batch.NeverStarted": "Remove the reason above, then start it again.",
    "Batch.Interrupted": "Start it again, or run the job without Spot.",
    "Batch.Stopped": "The task was stopped on request. If that was a mistake, start it again.",
    "Batch.TimedOut": "Give the job a longer timeout or smaller input, then start it again.",
    "Batch.NoPermit": "Raise the job's maxConcurrency or start it less often, then start it again.",
    "Input.Invalid": "Start it with an input as described above.",
    "Pipeline.StepFailed": "Fix what made the step fail, then start the pipeline again.",
}
OTHERWISE = "Fix the first problem that the log names, then start it again."
# What comes before the advice at the end of a cause.
WHAT_TO_DO = " What to do: "
