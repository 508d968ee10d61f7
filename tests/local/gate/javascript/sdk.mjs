// Every way to upload and read an object, each for each key; a line of JSON says how it went.
import { GetObjectCommand, ListObjectsV2Command, PutObjectCommand, S3Client } from "@aws-sdk/client-s3"
import { CreateQueueCommand, SQSClient } from "@aws-sdk/client-sqs"
import { createPresignedPost } from "@aws-sdk/s3-presigned-post"
import { getSignedUrl } from "@aws-sdk/s3-request-presigner"

const [endpoint, region, Bucket, keys] = process.argv.slice(2)
const common = { endpoint, region, credentials: { accessKeyId: "test", secretAccessKey: "test" } }
const s3 = new S3Client({ ...common, forcePathStyle: true })
const found = {}
for (const key of JSON.parse(keys)) {
    const Key = `sdk/${key}`
    await s3.send(new PutObjectCommand({ Bucket, Key, Body: key }))
    const read = await (await s3.send(new GetObjectCommand({ Bucket, Key }))).Body.transformToString()
    const put = await getSignedUrl(s3, new PutObjectCommand({ Bucket, Key: `url/${key}` }), { expiresIn: 60 })
    const puts = (await fetch(put, { method: "PUT", body: key })).status
    const get = await getSignedUrl(s3, new GetObjectCommand({ Bucket, Key: `url/${key}` }), { expiresIn: 60 })
    const got = await (await fetch(get)).text()
    const { url, fields } = await createPresignedPost(s3, { Bucket, Key: `post/${key}`, Expires: 60 })
    const form = new FormData()
    for (const [name, value] of Object.entries(fields)) form.append(name, value)
    form.append("file", new Blob([key]), "file.csv")
    const posts = (await fetch(url, { method: "POST", body: form })).status
    found[key] = [read, puts, got, posts]
}
const listed = await s3.send(new ListObjectsV2Command({ Bucket, Prefix: "post/" }))
const queue = await new SQSClient(common).send(new CreateQueueCommand({ QueueName: "of-the-sdk" }))
console.log(JSON.stringify({ found, listed: listed.KeyCount, queue: queue.QueueUrl }))
