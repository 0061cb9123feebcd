package testenv

import (
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

func TestAKilledDynamoDBComesBackWithItsTables(t *testing.T) {
	s := NewDynamoDBServer(t)
	ctx, client := t.Context(), s.Client(t, func(o *dynamodb.Options) { o.RetryMaxAttempts = 1 })
	if want := "http://" + s.Address(); s.URL() != want {
		t.Errorf("got URL %q, want %q", s.URL(), want)
	}
	createTable(t, client, "kept", false)
	item := map[string]types.AttributeValue{"id": &types.AttributeValueMemberS{Value: "1"}}
	_, err := client.PutItem(ctx, &dynamodb.PutItemInput{TableName: aws.String("kept"), Item: item})
	must(t, err, s.Kill(ctx), s.Kill(ctx))
	if _, err := client.ListTables(ctx, &dynamodb.ListTablesInput{}); err == nil {
		t.Error("it answers after its end")
	}
	must(t, s.Start(ctx), s.Start(ctx))
	found, err := client.GetItem(ctx, &dynamodb.GetItemInput{TableName: aws.String("kept"), Key: item, ConsistentRead: aws.Bool(true)})
	if err != nil || len(found.Item) != 1 {
		t.Errorf("got item %v, %v, want the one that was put", found, err)
	}
	if got := tables(t, client); !slices.Equal(got, []string{"kept"}) {
		t.Errorf("got tables %q", got)
	}
}
