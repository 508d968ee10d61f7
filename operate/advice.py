"""What to do about an error, as the stack's own messages say it."""

ADVICE = {
    "Batch.BadData": "Correct the data and upload it again; a retry would not help.",
    "Batch.ObjectGone": "The object was gone before it was read: upload it again if it is needed.",
    "Batch.TryAgainLater": "Once what the job depends on is there again, start it again.",
    "Batch.Misconfigured": "Correct the job's configuration and deploy; then start it again.",
    "Batch.NeverStarted": "Read the reason above; mend it, then start it again.",
    "Batch.Interrupted": "Start it again, or run the job without Spot.",
    "Batch.Stopped": "Somebody stopped the task. If that was a mistake, start it again.",
    "Batch.TimedOut": "Give the job a longer timeout or smaller input, then start it again.",
    "Input.Invalid": "Start it with an input as described above.",
    "Pipeline.StepFailed": "Mend what made the step fail, then start the pipeline again.",
}
OTHERWISE = "Read the log, mend what it says, start it again."
