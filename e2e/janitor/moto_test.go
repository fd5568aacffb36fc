// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package janitor sweeps an AWS account of moto, which knows AWS's behaviour from elsewhere than this repository does.
package janitor

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

const (
	accessKey = "AKIAIOSFODNN7EXAMPLE"
	here      = "us-east-1"
	there     = "eu-west-1"
)

// moto is a running server.
type moto struct {
	t   *testing.T
	url string
}

// start runs moto_server on a free port of loopback until the test ends.
func start(t *testing.T) *moto {
	t.Helper()
	program, err := exec.LookPath("moto_server")
	if err != nil {
		t.Fatalf("this test needs moto_server on PATH (pip install 'moto[server]==5.2.1'): %v", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	cmd := exec.Command(program, "-H", "127.0.0.1", "-p", port)
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatalf("start moto_server: %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		<-ended
		if t.Failed() {
			t.Logf("the end of moto's log:\n%s", tail(log.String()))
		}
	})
	m := &moto{t, "http://" + address}
	m.ready(ended)
	m.url = m.mend()
	return m
}

// lacking are the actions that moto 5.2.1 does not have, and the empty answer of AWS to each.
func lacking() map[string]string {
	return map[string]string{
		"DescribePlacementGroups": `<DescribePlacementGroupsResponse><placementGroupSet/></DescribePlacementGroupsResponse>`,
		"ListServiceSpecificCredentials": `<ListServiceSpecificCredentialsResponse><ListServiceSpecificCredentialsResult>` +
			`<ServiceSpecificCredentials/></ListServiceSpecificCredentialsResult></ListServiceSpecificCredentialsResponse>`,
	}
}

// mend puts a proxy before moto that answers what moto lacks, and returns its address.
func (m *moto) mend() string {
	back, err := url.Parse(m.url)
	if err != nil {
		m.t.Fatal(err)
	}
	proxy, answers := httputil.NewSingleHostReverseProxy(back), lacking()
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if form, err := url.ParseQuery(string(raw)); err == nil && answers[form.Get("Action")] != "" {
			_, _ = io.WriteString(w, answers[form.Get("Action")]) // the client is gone
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(raw))
		proxy.ServeHTTP(w, r)
	}))
	m.t.Cleanup(front.Close)
	return front.URL
}

func tail(log string) string { return log[max(0, len(log)-4000):] }

func (m *moto) ready(ended chan error) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, m.url+"/moto-api/", nil)
		if err != nil {
			m.t.Fatal(err)
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			_ = resp.Body.Close()
			return
		}
		select {
		case err := <-ended:
			ended <- err
			m.t.Fatalf("moto_server ended before it answered: %v", err)
		case <-ctx.Done():
			m.t.Fatal("moto_server does not answer within a minute")
		case <-tick.C:
		}
	}
}

// sdk is a configuration for the SDK's clients.
func (m *moto) sdk(region string) awssdk.Config {
	return awssdk.Config{
		Region: region, BaseEndpoint: &m.url, Credentials: credentials.NewStaticCredentialsProvider(accessKey, "example", ""),
	}
}

// ask sends one request as AWS's own documentation has it. Moto looks at the credential for the service, and not at the
// signature; versitygw and the fake check those.
func (m *moto) ask(region, service, method, path string, header map[string]string, body string) string {
	m.t.Helper()
	req, err := http.NewRequestWithContext(m.t.Context(), method, m.url+path, strings.NewReader(body))
	if err != nil {
		m.t.Fatal(err)
	}
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+accessKey+"/20260101/"+region+"/"+service+
		"/aws4_request, SignedHeaders=host, Signature=0")
	for name, value := range header {
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		m.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		m.t.Fatal(err)
	}
	if resp.StatusCode >= 300 {
		m.t.Fatalf("seed %s %s %s: %s: %s", service, path, body, resp.Status, raw)
	}
	return string(raw)
}

// form calls an action of a service that takes a form: "A=1&B=2".
func (m *moto) form(region, service, version, action, fields string) string {
	m.t.Helper()
	values, err := url.ParseQuery(fields)
	if err != nil {
		m.t.Fatal(err)
	}
	values.Set("Action", action)
	values.Set("Version", version)
	return m.ask(region, service, http.MethodPost, "/", map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, values.Encode())
}

// ec2 calls EC2 and returns the first element of a name in the answer.
func (m *moto) ec2(region, action, fields, element string) string {
	m.t.Helper()
	answer := m.form(region, "ec2", "2016-11-15", action, fields)
	if element == "" {
		return ""
	}
	found := regexp.MustCompile("<" + element + ">([^<]+)</" + element + ">").FindStringSubmatch(answer)
	if found == nil {
		m.t.Fatalf("seed ec2 %s: no %s in %s", action, element, answer)
	}
	return found[1]
}

func (m *moto) json(region, service, target, body string) string {
	m.t.Helper()
	return m.ask(region, service, http.MethodPost, "/", map[string]string{
		"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": target}, body)
}

// regions are all that moto has, but for the two that are swept: it has thirty, and takes its time.
func (m *moto) others() []string {
	var others []string
	for _, found := range regexp.MustCompile(`<regionName>([^<]+)</regionName>`).FindAllStringSubmatch(
		m.form(here, "ec2", "2016-11-15", "DescribeRegions", ""), -1) {
		if found[1] != here && found[1] != there {
			others = append(others, found[1])
		}
	}
	return others
}

// network makes a VPC with machines, gateways and balancers in a region.
func (m *moto) network(region string) {
	m.t.Helper()
	vpc := m.ec2(region, "CreateVpc", "CidrBlock=10.0.0.0/16", "vpcId")
	subnet := m.ec2(region, "CreateSubnet", "VpcId="+vpc+"&CidrBlock=10.0.0.0/24", "subnetId")
	second := m.ec2(region, "CreateSubnet", "VpcId="+vpc+"&CidrBlock=10.0.1.0/24&AvailabilityZone="+region+"b", "subnetId")
	gateway := m.ec2(region, "CreateInternetGateway", "", "internetGatewayId")
	m.ec2(region, "AttachInternetGateway", "InternetGatewayId="+gateway+"&VpcId="+vpc, "")
	// It is not associated: moto keeps the association of a subnet that is gone, which AWS does not.
	m.ec2(region, "CreateRouteTable", "VpcId="+vpc, "routeTableId")
	address := m.ec2(region, "AllocateAddress", "Domain=vpc", "allocationId")
	m.ec2(region, "CreateNatGateway", "SubnetId="+subnet+"&AllocationId="+address, "natGatewayId")
	one := m.ec2(region, "CreateSecurityGroup", "GroupName=one&GroupDescription=x&VpcId="+vpc, "groupId")
	two := m.ec2(region, "CreateSecurityGroup", "GroupName=two&GroupDescription=x&VpcId="+vpc, "groupId")
	for _, pair := range [][2]string{{one, two}, {two, one}} {
		m.ec2(region, "AuthorizeSecurityGroupIngress", "GroupId="+pair[0]+
			"&IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort=443&IpPermissions.1.ToPort=443&IpPermissions.1.Groups.1.GroupId="+pair[1], "")
	}
	image := m.ec2(region, "DescribeImages", "Owner.1=amazon", "imageId")
	instance := m.ec2(region, "RunInstances", "MinCount=1&MaxCount=1&ImageId="+image+"&SubnetId="+subnet+"&SecurityGroupId.1="+one, "instanceId")
	stopped := m.ec2(region, "RunInstances", "MinCount=1&MaxCount=1&ImageId="+image+"&SubnetId="+subnet, "instanceId")
	m.ec2(region, "StopInstances", "InstanceId.1="+stopped, "")
	m.ec2(region, "CreateImage", "InstanceId="+instance+"&Name=made", "imageId")
	m.ec2(region, "ModifyInstanceAttribute", "InstanceId="+instance+"&DisableApiTermination.Value=true", "")
	m.ec2(region, "CreateVolume", "Size=1&AvailabilityZone="+region+"a", "volumeId")
	m.ec2(region, "CreateNetworkInterface", "SubnetId="+subnet, "networkInterfaceId")
	m.ec2(region, "CreateKeyPair", "KeyName=key", "")
	m.ec2(region, "CreateLaunchTemplate", "LaunchTemplateName=t&LaunchTemplateData.ImageId="+image, "launchTemplateId")
	m.ec2(region, "CreateVpcEndpoint", "VpcEndpointType=Interface&VpcId="+vpc+"&ServiceName=com.amazonaws."+region+".ec2&SubnetId.1="+subnet,
		"vpcEndpointId")
	m.ec2(region, "CreateDhcpOptions", "DhcpConfiguration.1.Key=domain-name&DhcpConfiguration.1.Value.1=example.org", "dhcpOptionsId")
	m.ec2(region, "CreateNetworkAcl", "VpcId="+vpc, "networkAclId")
	m.ec2(region, "CreateEgressOnlyInternetGateway", "VpcId="+vpc, "egressOnlyInternetGatewayId")
	m.tunnels(region, vpc, subnet)
	m.form(region, "elasticloadbalancing", "2012-06-01", "CreateLoadBalancer", "LoadBalancerName=classic&Listeners.member.1.Protocol=tcp"+
		"&Listeners.member.1.LoadBalancerPort=80&Listeners.member.1.InstancePort=80&Subnets.member.1="+subnet)
	m.form(region, "elasticloadbalancing", "2015-12-01", "CreateLoadBalancer", "Name=net&Type=network&Subnets.member.1="+subnet+"&Subnets.member.2="+second)
	m.form(region, "elasticloadbalancing", "2015-12-01", "CreateTargetGroup", "Name=target&Protocol=TCP&Port=80&VpcId="+vpc)
	m.form(region, "autoscaling", "2011-01-01", "CreateLaunchConfiguration", "LaunchConfigurationName=lc&InstanceType=t2.micro&ImageId="+image)
	m.form(region, "autoscaling", "2011-01-01", "CreateAutoScalingGroup", "AutoScalingGroupName=asg&MinSize=1&MaxSize=1"+
		"&LaunchConfigurationName=lc&VPCZoneIdentifier="+subnet)
}

func (m *moto) tunnels(region, vpc, subnet string) {
	m.t.Helper()
	other := m.ec2(region, "CreateVpc", "CidrBlock=10.1.0.0/16", "vpcId")
	m.ec2(region, "CreateVpcPeeringConnection", "VpcId="+vpc+"&PeerVpcId="+other, "vpcPeeringConnectionId")
	transit := m.ec2(region, "CreateTransitGateway", "Description=x", "transitGatewayId")
	m.ec2(region, "CreateTransitGatewayVpcAttachment", "TransitGatewayId="+transit+"&VpcId="+vpc+"&SubnetIds.1="+subnet, "transitGatewayAttachmentId")
	customer := m.ec2(region, "CreateCustomerGateway", "Type=ipsec.1&BgpAsn=65000&IpAddress=192.0.2.1", "customerGatewayId")
	vpn := m.ec2(region, "CreateVpnGateway", "Type=ipsec.1", "vpnGatewayId")
	m.ec2(region, "AttachVpnGateway", "VpnGatewayId="+vpn+"&VpcId="+vpc, "")
	m.ec2(region, "CreateVpnConnection", "Type=ipsec.1&CustomerGatewayId="+customer+"&VpnGatewayId="+vpn, "vpnConnectionId")
}

// stores makes what keeps data.
func (m *moto) stores(region string) {
	m.t.Helper()
	plain := map[string]string{"Content-Type": "application/json"}
	m.json(region, "sqs", "AmazonSQS.CreateQueue", `{"QueueName":"jobs"}`)
	m.json(region, "events", "AWSEvents.PutRule", `{"Name":"rule","ScheduleExpression":"rate(5 minutes)"}`)
	m.json(region, "events", "AWSEvents.PutTargets", `{"Rule":"rule","Targets":[{"Id":"t","Arn":"arn:aws:sqs:us-east-1:123456789012:jobs"}]}`)
	m.json(region, "ecr", "AmazonEC2ContainerRegistry_V20150921.CreateRepository", `{"repositoryName":"images"}`)
	m.json(region, "ecs", "AmazonEC2ContainerServiceV20141113.CreateCluster", `{"clusterName":"c"}`)
	m.json(region, "logs", "Logs_20140328.CreateLogGroup", `{"logGroupName":"/aws/lambda/f"}`)
	m.json(region, "kms", "TrentService.CreateKey", `{"Description":"x"}`)
	m.json(region, "secretsmanager", "secretsmanager.CreateSecret", `{"Name":"s","SecretString":"x","ClientRequestToken":"00000000-0000-0000-0000-000000000000"}`)
	m.form(region, "rds", "2014-10-31", "CreateDBInstance", "DBInstanceIdentifier=db&DBInstanceClass=db.t3.micro&Engine=postgres"+
		"&MasterUsername=u&MasterUserPassword=password1&AllocatedStorage=20&DeletionProtection=true")
	m.form(region, "rds", "2014-10-31", "CreateDBCluster", "DBClusterIdentifier=dbc&Engine=aurora-mysql&MasterUsername=u&MasterUserPassword=password1")
	m.form(region, "rds", "2014-10-31", "CreateDBSnapshot", "DBSnapshotIdentifier=dbs&DBInstanceIdentifier=db")
	m.form(region, "elasticache", "2015-02-02", "CreateCacheCluster", "CacheClusterId=cc&Engine=redis&CacheNodeType=cache.t2.micro&NumCacheNodes=1")
	m.ask(region, "elasticfilesystem", http.MethodPost, "/2015-02-01/file-systems", plain, `{"CreationToken":"x"}`)
	m.form(region, "cloudformation", "2010-05-15", "CreateStack", "StackName=stack&TemplateBody="+
		url.QueryEscape(`{"Resources":{"Q":{"Type":"AWS::SQS::Queue","Properties":{"QueueName":"of-the-stack"}}}}`))
	m.ask(region, "eks", http.MethodPost, "/clusters", plain,
		`{"name":"k8s","roleArn":"arn:aws:iam::123456789012:role/eks","resourcesVpcConfig":{"subnetIds":["subnet-1"]}}`)
	m.ask(region, "eks", http.MethodPost, "/clusters/k8s/node-groups", plain,
		`{"nodegroupName":"nodes","nodeRole":"arn:aws:iam::123456789012:role/eks","subnets":["subnet-1"]}`)
}
