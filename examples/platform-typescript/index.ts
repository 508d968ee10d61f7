// The platform, and a table of one's own that one of its jobs may write to.
import * as aws from "@pulumi/aws";
import * as batch from "@pulumi/fargate-batch";

const table = new aws.dynamodb.Table("orders", {
  attributes: [{ name: "id", type: "S" }],
  billingMode: "PAY_PER_REQUEST",
  hashKey: "id",
});

const platform = new batch.BatchPlatform("platform", {
  jobs: { ingest: { memory: 2048, timeout: "2h" } },
  uploads: { orders: { job: "ingest", prefix: ["orders/"] } },
  pipelines: {
    nightly: { schedule: "cron(0 3 * * ? *)", steps: [[{ job: "ingest", commands: ["all"] }]] },
  },
});

const ingest = platform.jobs.apply((jobs) => jobs["ingest"]);

new aws.iam.RolePolicy("ingest-orders", {
  role: ingest.taskRoleArn.apply((arn) => arn.split("/").pop()!),
  policy: {
    Version: "2012-10-17",
    Statement: [{ Effect: "Allow", Action: "dynamodb:PutItem", Resource: table.arn }],
  },
});

export const uploadBucket = platform.uploadBucket;
export const stateMachineArn = ingest.stateMachineArn;
